-- wrk script: submits the attempts of FORMS_FILE, each once. FORM_REST is the rest of the form.
local bodies = {}
for attempt in io.lines(os.getenv('FORMS_FILE')) do
  bodies[#bodies + 1] = 'attempt=' .. attempt .. '&' .. os.getenv('FORM_REST')
end
local headers = {
  ['Content-Type'] = 'application/x-www-form-urlencoded',
  ['Origin'] = os.getenv('FORM_ORIGIN'),
}
local at = 0
local ended = os.getenv('FORMS_ENDED')

function request()
  at = at + 1
  if at > #bodies then
    if at == #bodies + 1 then io.open(ended, 'w'):close() end
    at = #bodies
  end
  return wrk.format('POST', nil, headers, bodies[at])
end
