-- wrk script: POSTs events as bench/synthetic.h describes them.
--   wrk … -s post_events.lua URL -- EVENTS_PER_REQUEST RUNS RUN_PREFIX
-- Threads do not meet: each has actions of its own. Every run must have its action `root` already.

local window, phases = 100, { "QUEUED", "RUNNING", "SUCCEEDED" }
local threads = 0

function setup(thread)
   thread:set("sender", threads)
   threads = threads + 1
end

local events_per_request, runs, prefix
local request_number = 0

function init(arguments)
   events_per_request = tonumber(arguments[1])
   runs = tonumber(arguments[2])
   prefix = arguments[3]
   wrk.method = "POST"
   wrk.path = "/v1/events"
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   local n = request_number
   request_number = n + 1
   local block = math.floor(n / (window * #phases)) * window + n % window
   local phase = math.floor(n / window) % #phases
   local head = string.format(
      '{"project":"bench","domain":"load","runName":"%s-%04d","name":"a%d-%d-',
      prefix, block % runs, sender, block)
   local tail = string.format(
      '","attempt":1,"phase":"%s","version":0,"parent":"root","updatedTime":'
      .. '"2026-04-12T08:00:0%d.000Z","task":{"name":"pkg.module.train","shortName":"train"}}',
      phases[phase + 1], phase)
   if events_per_request == 1 then
      return wrk.format(nil, nil, nil, head .. "0" .. tail)
   end
   local events = {}
   for i = 1, events_per_request do
      events[i] = head .. (i - 1) .. tail
   end
   return wrk.format(nil, nil, nil, '{"events":[' .. table.concat(events, ",") .. ']}')
end

function done(summary)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.3f, "refused": %d, "broken": %d}\n', summary.requests,
      summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
