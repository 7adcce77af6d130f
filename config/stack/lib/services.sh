# The five services of a stack: how each is started, when it is ready, how it is stopped.
# shellcheck shell=bash disable=SC2154

START_ORDER=(postgres redis sandbox worker nginx)

service_alive() { pid_alive "$dir/pids/$1" >/dev/null; }

# service_fail NAME SENTENCE: the reason and the end of its log; leaving stops what had been started.
service_fail() {
    note "stack: $2"
    if [[ -s $dir/log/$1.log ]]; then
        note "The end of $dir/log/$1.log:"
        tail -n 15 "$dir/log/$1.log" | sed 's/^/    /' >&2
    fi
    exit 1
}

# The environment of NAME under the sanitizers and the time shim, one NAME=VALUE a line.
service_environment() {
    local preload=()
    [[ -z ${state[asan]} || $1 == postgres || $1 == redis ]] || preload+=("${state[asan]}")
    [[ -z ${state[shim]} ]] || preload+=("${state[shim]}")
    ((${#preload[@]} == 0)) || printf 'LD_PRELOAD=%s\n' "$(IFS=:; printf '%s' "${preload[*]}")"
    [[ -z ${state[shim]} ]] || printf 'PAYLINK_TIME_FILE=%s\n' "${state[time_file]}"
    if [[ -n ${state[asan]} ]]; then
        # nginx keeps on purpose what it allocated until its end; its leaks show under valgrind.
        local leaks=1
        [[ $1 != nginx ]] || leaks=0
        printf 'ASAN_OPTIONS=detect_leaks=%s:log_path=%s\n' "$leaks" "$dir/log/sanitizer.$1"
        printf 'UBSAN_OPTIONS=print_stacktrace=1:log_path=%s\n' "$dir/log/sanitizer.$1"
    fi
    [[ $1 != worker ]] || ((${#opt_worker_env[@]} == 0)) || printf '%s\n' "${opt_worker_env[@]}"
}

# service_spawn NAME COMMAND…: in a session of its own, without our lock and terminal.
service_spawn() {
    local name=$1 environment user=()
    shift
    mapfile -t environment < <(service_environment "$name")
    [[ $name != postgres ]] || user=("${as_postgres[@]}")
    setsid "${user[@]}" env "${environment[@]}" "$@" </dev/null >>"$dir/log/$name.log" 2>&1 {lock}>&- &
    pid_record "$dir/pids/$name" $!
}

ready_or_dead() { # ready_or_dead NAME COMMAND…
    local name=$1
    shift
    "$@" || ! service_alive "$name"
}

# service_ready NAME SECONDS COMMAND…: fails at once when the process ends.
service_ready() {
    local name=$1 seconds=$2
    shift 2
    wait_until "$seconds" ready_or_dead "$name" "$@" ||
        service_fail "$name" "$name runs but is not ready after $seconds s."
    service_alive "$name" || service_fail "$name" "$name stopped right after its start."
}

# --- PostgreSQL -------------------------------------------------------------------------------

postgres_find() {
    local bin
    for bin in /usr/lib/postgresql/15/bin /usr/lib/postgresql/*/bin; do
        [[ -x $bin/postgres ]] && { pg_bin=$bin; return; }
    done
    die "PostgreSQL's server is not installed; config/stack/stack install brings it."
}

# PostgreSQL refuses to run as root: then it runs as `postgres`, which must be able to reach its data.
postgres_place() {
    as_postgres=()
    if ((EUID == 0)); then
        id postgres >/dev/null 2>&1 || die "there is no user postgres; config/stack/stack install brings it."
        as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    fi
    [[ ! -d ${state[pg_data]:-/nonexistent}/base ]] || return 0
    state[pg_data]=$dir/pg
    if ((EUID == 0)) && ! "${as_postgres[@]}" test -x "$dir"; then
        state[pg_data]=$(mktemp -d /var/tmp/paylink-pg.XXXXXX)/pg
        chmod 711 "${state[pg_data]%/pg}"
        note "stack: user postgres cannot reach $dir, so the database is in ${state[pg_data]}"
    fi
}

# Made beside its place and then moved: an interrupted initdb leaves nothing that looks whole.
postgres_create() {
    local new=${state[pg_data]}.new
    rm -rf "$new"
    mkdir -m 700 "$new"
    ((EUID != 0)) || chown postgres:postgres "$new"
    "${as_postgres[@]}" "$pg_bin/initdb" -D "$new" -A trust -U postgres -E UTF8 --locale=C.UTF-8 \
        --no-sync >>"$dir/log/postgres.log" 2>&1 ||
        service_fail postgres "PostgreSQL's initdb failed."
    [[ $opt_fast == 1 ]] || sync -f "$new"
    mv "$new" "${state[pg_data]}"
}

# Backends lead sessions of their own. Those of a killed server end by themselves, but a new one
# refuses to start before.
postgres_gone() {
    [[ -z $(find /proc -maxdepth 2 -name cwd -lname "${state[pg_data]}" 2>/dev/null) ]]
}

postgres_sql() {
    psql -qXAt -v ON_ERROR_STOP=1 "host=${state[sockets]}/pg user=postgres dbname=$1" -c "$2"
}

postgres_start() {
    local fast=()
    [[ $opt_fast != 1 ]] || fast=(-c fsync=off -c full_page_writes=off)
    [[ -d ${state[pg_data]}/base ]] || postgres_create
    # PostgreSQL takes a server that was killed and not yet reaped for a living one.
    local lock_file=${state[pg_data]}/postmaster.pid
    if [[ -e $lock_file && -z $(process_birth "$(head -n 1 "$lock_file")") ]] && postgres_gone; then
        rm -f "$lock_file" "${state[sockets]}/pg/".s.PGSQL.*
    fi
    service_spawn postgres "$pg_bin/postgres" -D "${state[pg_data]}" -c listen_addresses= \
        -c unix_socket_directories="${state[sockets]}/pg" -c unix_socket_permissions=0700 \
        -c timezone=UTC -c log_timezone=UTC -c log_line_prefix='%m [%p] %a ' "${fast[@]}" "${opt_pg[@]}"
}

postgres_ready() {
    service_ready postgres 30 postgres_sql postgres 'SELECT 1'
    local role database
    role=$(postgres_sql postgres "SELECT count(*) FROM pg_roles WHERE rolname = 'paylink'")
    database=$(postgres_sql postgres "SELECT count(*) FROM pg_database WHERE datname = 'paylink'")
    # Not a superuser: the owner of its database, who may make the roles of the schema.
    [[ $role == 1 ]] || postgres_sql postgres 'CREATE ROLE paylink LOGIN CREATEROLE'
    [[ $database == 1 ]] || postgres_sql postgres 'CREATE DATABASE paylink OWNER paylink'
}

# --- the others -------------------------------------------------------------------------------

redis_say() { redis-cli -s "${state[redis_socket]}" "$@"; }
redis_answers() { [[ $(redis_say ping 2>/dev/null) == PONG ]]; }
redis_start() { service_spawn redis redis-server "$dir/redis/redis.conf"; }
redis_ready() { service_ready redis 30 redis_answers; }

paylink_run() { # paylink_run NAME COMMAND…: a command of ours that ends by itself
    local name=$1 environment
    shift
    mapfile -t environment < <(service_environment "$name")
    timeout 120 env "${environment[@]}" "$build/paylink" --config "$dir/paylink.ini" "$@" \
        >>"$dir/log/$name.log" 2>&1 {lock}>&-
}

sandbox_start() { service_spawn sandbox "$build/paylink" --config "$dir/paylink.ini" sandbox; }
sandbox_ready() {
    service_ready sandbox 15 curl -fsS -m 2 -o /dev/null "${state[sandbox_url]}/sandbox/health"
}

# The worker is there when the library is loaded and the last of its consumer groups exists.
worker_answers() {
    redis_say FUNCTION LIST LIBRARYNAME paylink | grep -q paylink &&
        redis_say XINFO GROUPS 'paylink:{0f}:want' | grep -q '^worker$' &&
        redis_say XINFO GROUPS 'paylink:{0f}:submit' | grep -q '^worker$'
}
worker_start() { service_spawn worker "$build/paylink" --config "$dir/paylink.ini" worker; }
worker_ready() { service_ready worker 15 worker_answers; }

# By its path: nginx starts itself anew by the name that it was called by when it is upgraded.
nginx_start() {
    service_spawn nginx "$(command -v nginx)" -p "$dir/nginx" -e stderr -c "$dir/nginx/nginx.conf" -g "${state[nginx_globals]:-}"
}
nginx_ready() { service_ready nginx 10 curl -fsS -m 2 -o /dev/null "${state[base_url]}/healthz"; }

# --- all of them ------------------------------------------------------------------------------

services_start() {
    local name
    for name in postgres redis; do ! wants "$name" || "${name}_start"; done
    for name in postgres redis; do ! wants "$name" || "${name}_ready"; done
    if [[ -n $opt_migrate ]] || { wants postgres && wants nginx; }; then
        paylink_run migrate migrate || service_fail migrate "the database could not be migrated."
    fi
    for name in sandbox worker nginx; do ! wants "$name" || "${name}_start"; done
    for name in sandbox worker nginx; do ! wants "$name" || "${name}_ready"; done
}

service_stop() {
    case $1 in
    postgres)
        session_end "$dir/pids/postgres" INT 20 # "fast": does not wait for clients
        wait_until 10 postgres_gone || note "stack: backends of PostgreSQL survive in ${state[pg_data]}"
        ;;
    nginx) session_end "$dir/pids/nginx" TERM 5 ;;
    *) session_end "$dir/pids/$1" TERM 15 ;;
    esac
}

services_stop() {
    local at
    for ((at = ${#START_ORDER[@]} - 1; at >= 0; at--)); do service_stop "${START_ORDER[at]}"; done
}

sockets_make() {
    state[sockets]=$(mktemp -d /tmp/paylink.XXXXXX)
    chmod 711 "${state[sockets]}"
    mkdir -m 700 "${state[sockets]}/redis" "${state[sockets]}/pg"
    ((EUID != 0)) || chown postgres:postgres "${state[sockets]}/pg"
    state[redis_socket]=${state[sockets]}/redis/redis.sock
    state[pg_conninfo]="host=${state[sockets]}/pg user=paylink dbname=paylink"
}

sockets_remove() {
    [[ ${state[sockets]:-} == /tmp/paylink.?????? ]] || return 0
    rm -rf "${state[sockets]}"
    state[sockets]=''
}
