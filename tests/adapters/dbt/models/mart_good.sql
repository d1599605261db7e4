select id, v from {{ ref('stg_orders') }}
