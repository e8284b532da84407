-- depends_on: {{ ref('markets') }}
-- depends_on: {{ ref('candles_1h') }}
-- depends_on: {{ ref('stg_kalshi__candlestick_windows') }}
{{ longer_candles('candles_1h', time_zone='UTC') }}
