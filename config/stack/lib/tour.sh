# What the tour needs: output for eyes, the operator's commands, and a payer made of curl.
# Knows the stack only through stack.json, as any outside client would.
# shellcheck shell=bash disable=SC2034,SC2154

if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
    bold='' green='' yellow='' plain=''
fi

chapter=0
title() { printf '\n%s%d. %s%s\n' "$bold" $((++chapter)) "$*" "$plain"; }
tell() { printf '   %s\n' "$*"; }
good() { printf '   %sok%s  %s\n' "$green" "$plain" "$*"; }
no() { printf '   %sno%s  %s\n' "$yellow" "$plain" "$*"; }

fail() {
    printf '\ndemo: step %d: %s\n' "$chapter" "$*" >&2
    printf 'The stack is left running for a look: logs in %s; make down stops it.\n' "$(setting log_dir)" >&2
    exit 1
}

setting() { jq -r --arg name "$1" '.[$name]' "$dir/stack.json"; }

# money MINOR CURRENCY: 1234567 USD -> 12,345.67 USD
money() {
    local digits=2 sign='' minor=$1 whole fraction=''
    case $2 in JPY | KRW) digits=0 ;; KWD | BHD) digits=3 ;; esac
    [[ $minor != -* ]] || { sign=- minor=${minor#-}; }
    while ((${#minor} <= digits)); do minor=0$minor; done
    whole=${minor:0:${#minor}-digits}
    ((digits == 0)) || fraction=.${minor: -digits}
    while [[ $whole =~ ^([0-9]+)([0-9]{3}.*)$ ]]; do whole=${BASH_REMATCH[1]},${BASH_REMATCH[2]}; done
    printf '%s%s%s %s' "$sign" "$whole" "$fraction" "$2"
}

# --- the operator -----------------------------------------------------------------------------

# operator COMMAND…: the JSON answer, printed; a refusal ends the tour. Values with jq: `get .id`.
operator() {
    "$paylink" --config "$(setting config)" "$@" --json 2>"$work/error" ||
        fail "paylink $* was refused: $(<"$work/error")"
}

# operator_refused CODE COMMAND…: the command must be refused with this code; prints the sentence.
operator_refused() {
    local code=$1 answer
    shift
    if answer=$("$paylink" --config "$(setting config)" "$@" --json 2>/dev/null); then
        fail "paylink $* should have been refused, but it answered $answer"
    fi
    [[ $(jq -r .error.code <<<"$answer") == "$code" ]] || fail "paylink $* should have said $code: $answer"
    jq -r .error.message <<<"$answer"
}

get() { jq -er "$1" || fail "the answer has no $1"; }

# expect WHAT WANTED IS
expect() { [[ $2 == "$3" ]] || fail "$1 should be '$2', but it is '$3'"; }

# eventually SECONDS WHAT COMMAND…: what is booked is seen a moment later elsewhere
eventually() {
    local seconds=$1 what=$2
    shift 2
    wait_until "$seconds" "$@" || fail "$what did not happen within $seconds s"
}

charges() { # how often the gateway captured money so far, by its own log
    curl -fsS -m 10 "$(setting sandbox_url)/sandbox/log" | grep -c "$1" || true
}

# --- the payer --------------------------------------------------------------------------------

# fetch NAME METHOD URL [curl options…]: body in $work/NAME.html, status in $status, redirect in $location
fetch() {
    local name=$1 method=$2 url=$3 reply=()
    shift 3
    [[ $method != HEAD ]] || set -- -I "$@"
    mapfile -t reply < <(curl -sS -m 30 -X "$method" -o "$work/$name.html" \
        -w '%{http_code}\n%{redirect_url}\n' "$@" "$url" 2>"$work/error")
    status=${reply[0]:-000} location=${reply[1]:-}
    [[ $status != 000 ]] || fail "$method $url: $(<"$work/error")"
}

# field NAME FIELD: the value of a hidden field of the page $work/NAME.html
field() {
    local value
    value=$(grep -oE "<input[^>]* name=\"$2\"[^>]*>" "$work/$1.html" | grep -oE 'value="[^"]*"' | head -n 1)
    value=${value#value=\"}
    printf '%s' "${value%\"}"
}

page_state() { grep -oE 'data-state="[a-z_]+"' "$work/$1.html" | head -n 1 | cut -d'"' -f2; }
heading() { tr '\n' ' ' <"$work/$1.html" | grep -oE '<h1[^>]*>.*</h1>' | sed -E 's/<\/h1>.*//; s/<[^>]*>//g' | head -n 1; }

# The card goes to the gateway alone, with its publishable key, exactly as the hosted fields send it.
card_token() { # card_token PAGE NUMBER
    local account
    account=$(grep -oE 'account=pk_[A-Za-z0-9_]+' "$work/$1.html" | head -n 1)
    [[ -n $account ]] || fail "the page names no gateway account"
    curl -fsS -m 20 "$(setting sandbox_url)/v1/payment_methods" -H "Authorization: Bearer ${account#account=}" \
        -d type=card -d "card[number]=$2" -d 'card[exp_month]=12' -d 'card[exp_year]=2040' -d 'card[cvc]=123' \
        2>"$work/error" | jq -r .id || fail "the gateway made no token: $(<"$work/error")"
}

# submit PAGE LINK TOKEN: posts the form that the payer sees; the answer is page `submit`
submit() {
    local name pairs=()
    for name in attempt version amount_minor; do
        pairs+=(--data-urlencode "$name=$(field "$1" "$name")")
    done
    fetch submit POST "$2/pay" "${pairs[@]}" --data-urlencode "payment_method=$3"
}

result_decided() {
    fetch result GET "$1"
    [[ $(page_state result) =~ ^(captured|declined|refused|absent)$ ]]
}

# result URL: waits until the result page is decided; it is then page `result`
result() { eventually 30 "the result of the payment" result_decided "$1"; }

# --- the books --------------------------------------------------------------------------------

balances_print() { # balances_print MERCHANT: debit and credit in columns, with their sums
    local rows kind customer minor currency debit=0 credit=0
    rows=$(operator ledger balances --merchant "$1")
    printf '   %s%-22s %20s %20s%s\n' "$bold" account debit credit "$plain"
    while IFS=$'\t' read -r kind customer minor currency; do
        [[ $customer == none ]] || kind="$kind, customer"
        if ((minor >= 0)); then
            printf '   %-22s %20s\n' "$kind" "$(money "$minor" "$currency")"
            debit=$((debit + minor))
        else
            printf '   %-22s %20s %20s\n' "$kind" '' "$(money "${minor#-}" "$currency")"
            credit=$((credit - minor))
        fi
    done < <(jq -r '.[] | [.kind, (if .customer then "one" else "none" end), .balance_minor, .currency] | @tsv' <<<"$rows" | tr '_' ' ')
    printf '   %s%-22s %20s %20s%s\n' "$bold" sum "$(money "$debit" USD)" "$(money "$credit" USD)" "$plain"
    expect "the sum of credits" "$debit" "$credit"
}

payments_print() { # payments_print MERCHANT
    local numbers
    numbers=$(operator invoice list --merchant "$1" | jq 'map({(.id): .number}) | add')
    printf '   %s%-10s %-9s %14s %14s %14s %14s%s\n' "$bold" invoice method paid applied unapplied refunded "$plain"
    operator payment list --merchant "$1" |
        jq -r --argjson numbers "$numbers" 'sort_by(.created_at)[]
            | [($numbers[.allocations[0].invoice // "none"] // "none"), .method, .amount_minor, .applied_minor,
               .unapplied_minor, .refunded_minor, .currency] | @tsv' |
        while IFS=$'\t' read -r number method paid applied unapplied refunded currency; do
            printf '   %-10s %-9s %14s %14s %14s %14s\n' "$number" "$method" "$(money "$paid" "$currency")" \
                "$(money "$applied" "$currency")" "$(money "$unapplied" "$currency")" "$(money "$refunded" "$currency")"
        done
}
