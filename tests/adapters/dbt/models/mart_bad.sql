select nothing_like_this from {{ ref('stg_orders') }}
