-- wrk script: POSTs what an executor reports, events of actions that are there, as JSON or as Flyte's
-- RecordActionEvents in protocol buffers; both say the same.
--   wrk … -s record_events.lua URL -- EVENTS_PER_REQUEST RUNS RUN_PREFIX FORM
-- Each request is about the actions a0 … of one run, RUNNING with a version of its own.

local threads = 0

function setup(thread)
   thread:set("sender", threads)
   threads = threads + 1
end

local events_per_request, runs, prefix, form
local request_number = 0
local seconds = 1775980800 -- 2026-04-12T08:00:00Z

function init(arguments)
   events_per_request = tonumber(arguments[1])
   runs = tonumber(arguments[2])
   prefix = arguments[3]
   form = arguments[4]
   wrk.method = "POST"
   if form == "json" then
      wrk.path = "/v1/events"
      wrk.headers["Content-Type"] = "application/json"
   else
      wrk.path = "/flyteidl2.workflow.InternalRunService/RecordActionEvents"
      wrk.headers["Content-Type"] = "application/proto"
   end
end

local function varint(number)
   local bytes = {}
   while number >= 128 do
      bytes[#bytes + 1] = string.char(number % 128 + 128)
      number = math.floor(number / 128)
   end
   return table.concat(bytes) .. string.char(number)
end

-- Field `number` with bytes.
local function field(number, bytes)
   return string.char(number * 8 + 2) .. varint(#bytes) .. bytes
end

local ids = {} -- of the actions of each run, made once: the sender is not what is measured

local function action_ids(run)
   if ids[run] == nil then
      local run_id = field(1, field(2, "bench") .. field(3, "load") .. field(4, run))
      ids[run] = {}
      for i = 1, events_per_request do
         ids[run][i] = field(1, run_id .. field(2, "a" .. (i - 1)))
      end
   end
   return ids[run]
end

local function proto_body(run, version)
   local rest = "\16\1\24\4\32" .. varint(version) .. field(6, "\8" .. varint(seconds))
      .. field(11, "gpu-1")
   local parts, heads = {}, {}
   for _, id in ipairs(action_ids(run)) do
      local length = #id + #rest
      heads[length] = heads[length] or "\10" .. varint(length)
      parts[#parts + 1] = heads[length]
      parts[#parts + 1] = id
      parts[#parts + 1] = rest
   end
   return table.concat(parts)
end

local function json_body(run, version)
   local head = '{"project":"bench","domain":"load","runName":"' .. run .. '","name":"a'
   local tail = string.format(
      '","attempt":1,"phase":"RUNNING","version":%d,"updatedTime":"2026-04-12T08:00:00.000Z",'
      .. '"cluster":"gpu-1"}', version)
   local events = {}
   for i = 1, events_per_request do
      events[i] = head .. (i - 1) .. tail
   end
   return '{"events":[' .. table.concat(events, ",") .. ']}'
end

function request()
   local n = request_number
   request_number = n + 1
   local run = string.format("%s-%04d", prefix, n % runs)
   local version = n * 16 + sender + 1
   return wrk.format(nil, nil, nil, (form == "json" and json_body or proto_body)(run, version))
end

function done(summary)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.3f, "refused": %d, "broken": %d}\n', summary.requests,
      summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
