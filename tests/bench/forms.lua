-- wrk script: views one page over and over and writes the attempt of every pay form to FORMS_FILE.
local file = assert(io.open(os.getenv('FORMS_FILE'), 'w'))

function response(status, headers, body)
  local attempt = body:match('name="attempt" value="([^"]+)"')
  assert(status == 200 and attempt, 'this is no pay page')
  file:write(attempt, '\n')
  file:flush()
end
