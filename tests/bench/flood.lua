-- wrk script: a flood of a steady rate. Each of FLOOD_CONNECTIONS waits so that together they send FLOOD_RATE a second.
local wait_ms = 1000 * tonumber(os.getenv('FLOOD_CONNECTIONS')) / tonumber(os.getenv('FLOOD_RATE'))

function delay()
  return math.random() * 2 * wait_ms
end
