-- depends_on: {{ ref('candles') }}
{{ longer_candles_on_demand(minutes=5) }}
