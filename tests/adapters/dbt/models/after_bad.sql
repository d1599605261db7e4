select * from {{ ref('mart_bad') }}
