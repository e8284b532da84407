-- depends_on: {{ ref('markets') }}
-- depends_on: {{ ref('candles_1h') }}
-- depends_on: {{ ref('stg_kalshi__candlestick_windows') }}
{{ days_rolled_up('UTC') }}
