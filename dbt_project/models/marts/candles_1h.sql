-- depends_on: {{ ref('markets') }}
-- depends_on: {{ ref('candles') }}
-- depends_on: {{ ref('stg_kalshi__candlestick_windows') }}
{{ longer_candles('candles', minutes=60) }}
