-- Sends the requests of a file, one after the other, over and over.
--   args[1]  the file: one request a line, its fields separated by tabs:
--            path, body, then name and value of each header
--   args[2]  what the ids of new notifications begin with; NEW-ID in a body becomes a fresh one
-- Prints one line of JSON at the end.
local requests, sent, prefix = {}, 0, ""

local function fields_of(line)
  local fields = {}
  for field in (line .. "\t"):gmatch("([^\t]*)\t") do fields[#fields + 1] = field end
  return fields
end

function init(args)
  prefix = args[2] or ""
  for line in io.lines(args[1]) do
    local fields, headers = fields_of(line), {}
    for n = 3, #fields, 2 do headers[fields[n]] = fields[n + 1] end
    local path, body = fields[1], fields[2]
    local from, to = body:find("NEW-ID", 1, true)
    if from then
      requests[#requests + 1] = function()
        local fresh = body:sub(1, from - 1) .. prefix .. sent .. body:sub(to + 1)
        return wrk.format("POST", path, headers, fresh)
      end
    else
      local ready = wrk.format("POST", path, headers, body)
      requests[#requests + 1] = function() return ready end
    end
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]()
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
