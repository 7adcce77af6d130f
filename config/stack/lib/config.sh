# What the parts of a stack read: secrets, settings, server configurations, stack.json. Starts nothing.
# shellcheck shell=bash disable=SC2154

# The state of a stack is lines NAME=VALUE in DIR/state; `state` holds them.
declare -A state=()

state_load() {
    local line
    state=()
    [[ -r $dir/state ]] || return 0
    while IFS= read -r line; do
        [[ $line == *=* ]] && state[${line%%=*}]=${line#*=}
    done <"$dir/state"
}

state_save() {
    local name
    for name in "${!state[@]}"; do printf '%s=%s\n' "$name" "${state[$name]}"; done |
        sort >"$dir/state.new"
    mv "$dir/state.new" "$dir/state"
}

secret_make() { # secret_make FILE COMMAND…: what the command prints, unless the file is there
    local file=$dir/secrets/$1
    shift
    [[ -s $file ]] || { "$@" >"$file.new" && mv "$file.new" "$file"; }
}

key_line() { printf '1 %s\n' "$(random_hex 32)"; }
key_word() { printf '%s%s\n' "$1" "$(random_hex "$2")"; }

secrets_make() {
    mkdir -p "$dir/secrets"
    secret_make link_keys key_line
    secret_make gateway_secret key_word sk_test_ 24
    secret_make gateway_publishable key_word pk_test_ 24
    secret_make webhook_secret key_word whsec_ 24
    secret_make redis_edge key_word '' 24
    secret_make redis_worker key_word '' 24
}

secret_sha256() { printf '%s' "$(<"$dir/secrets/$1")" | sha256sum | cut -d' ' -f1; }

config_redis() {
    mkdir -p "$dir/redis"
    template_render "$root/config/redis/redis.conf.in" DIR="$dir/redis" \
        SOCKET="${state[redis_socket]}" ACL_FILE="$dir/redis/users.acl" MAXMEMORY="$opt_maxmemory" \
        >"$dir/redis/redis.conf"
    [[ $opt_fast != 1 ]] || printf 'appendfsync no\n' >>"$dir/redis/redis.conf"
    # An ACL file has one user a line and no comments.
    template_render "$root/config/redis/users.acl.in" DEFAULT_RULES='on nopass ~* &* +@all' \
        EDGE_SHA256="$(secret_sha256 redis_edge)" WORKER_SHA256="$(secret_sha256 redis_worker)" |
        awk '/^#/ || /^$/ { next }
             /^ / { sub(/^ +/, " "); line = line $0; next }
             { if (line != "") print line; line = $0 }
             END { print line }' >"$dir/redis/users.acl"
}

settings_defaults() {
    cat <<EOF
edge.base_url=${state[base_url]}
edge.pages_dir=$root/config/pages
gateway.publishable_key=$(<"$dir/secrets/gateway_publishable")
gateway.secret_key_file=$dir/secrets/gateway_secret
gateway.url=${state[sandbox_url]}
keys.file=$dir/secrets/link_keys
mail.dir=$root/config/mail
postgres.conninfo=${state[pg_conninfo]}
redis.functions_file=$root/config/redis/paylink.lua
redis.password_file=$dir/secrets/redis_worker
redis.socket=${state[redis_socket]}
redis.user=worker
sandbox.data_dir=$dir/sandbox
sandbox.pages_dir=$root/config/pages/sandbox
sandbox.listen=127.0.0.1:${state[sandbox_port]}
sandbox.public_url=${state[sandbox_url]}
sandbox.webhook_secret_file=$dir/secrets/webhook_secret
worker.name=worker-1
EOF
}

config_worker() {
    mkdir -p "$dir/sandbox" "$dir/mail"
    [[ -z $opt_mail ]] || opt_set=("mail.url=file://$dir/mail" mail.from=pay@pay.example "${opt_set[@]}")
    # Later lines win, so --set overrides; the output is grouped into sections.
    { settings_defaults; printf '%s\n' "${opt_set[@]}"; } | awk '
        /./ { at = index($0, "="); name = substr($0, 1, at - 1); dot = index(name, ".")
              section = substr(name, 1, dot - 1); key = substr(name, dot + 1)
              if (!(section in keys)) order[++sections] = section
              if (!((section, key) in value)) keys[section] = keys[section] "\n" key
              value[section, key] = substr($0, at + 1) }
        END { for (i = 1; i <= sections; i++) {
                  print (i > 1 ? "\n" : "") "[" order[i] "]"
                  n = split(substr(keys[order[i]], 2), list, "\n")
                  for (k = 1; k <= n; k++) print list[k] " = " value[order[i], list[k]] } }' \
        >"$dir/paylink.ini"
}

# The directive of a line takes the place of the one that stands in the configuration already, or is
# added to the http block.
config_nginx() {
    local text line name extra=''
    mkdir -p "$dir/nginx/nginx-temp"
    ln -sfn ../log "$dir/nginx/log"
    # Its comments explain what is filled in here.
    text=$(grep -v '^ *#' "$root/config/nginx/paylink.conf.in")
    for line in "error_log stderr $opt_nginx_log;" "paylink_open $opt_open;" "${opt_nginx[@]}"; do
        name=${line%%[[:space:]]*}
        if [[ $text =~ $'\n'([[:space:]]*)${name}[[:space:]][^$'\n'\;]*\; ]]; then
            text=${text/"${BASH_REMATCH[0]}"/$'\n'"${BASH_REMATCH[1]}$line"}
        else
            extra+=$'\n'"    $line"
        fi
    done
    printf '%s\n' "$text" >"$dir/nginx/template"
    template_render "$dir/nginx/template" RUN_DIR="$dir/nginx" MODULE="$build/ngx_http_paylink_module.so" \
        WORKER_PROCESSES="$opt_nginx_workers" LISTEN="127.0.0.1:${state[port]}" \
        BASE_URL="${state[base_url]}" GATEWAY_URL="${state[sandbox_url]}" \
        REDIS_SOCKET="${state[redis_socket]}" EDGE_PASSWORD_FILE="$dir/secrets/redis_edge" \
        KEY_FILE="$dir/secrets/link_keys" PAGES_DIR="$root/config/pages" EXTRA="$extra" \
        >"$dir/nginx/nginx.conf"
    rm "$dir/nginx/template"
    # Only a master that runs as root may say who its workers are.
    state[nginx_globals]="${opt_nginx_main[*]}"
    ((EUID != 0)) || state[nginx_globals]+=" user root;"
    state_save
}

stack_json_write() {
    local name pid pids=()
    for name in ${state[services]}; do
        pid=$(pid_alive "$dir/pids/$name") && pids+=("$name=$pid")
    done
    jq -n --arg base_url "${state[base_url]}" --arg sandbox_url "${state[sandbox_url]}" \
        --arg redis_socket "${state[redis_socket]}" --arg pg_conninfo "${state[pg_conninfo]}" \
        --arg config "$dir/paylink.ini" --arg key_file "$dir/secrets/link_keys" \
        --arg log_dir "$dir/log" --arg build "$build" --arg time_file "${state[time_file]}" '
        {$base_url, $sandbox_url, $redis_socket, $pg_conninfo, $config, $key_file, $log_dir, $build}
        + (if $time_file == "" then {} else {$time_file} end)
        + {pids: ($ARGS.positional | map(split("=") | {(.[0]): (.[1] | tonumber)}) | add // {})}' \
        --args "${pids[@]}" >"$dir/stack.json.new"
    mv "$dir/stack.json.new" "$dir/stack.json"
}
