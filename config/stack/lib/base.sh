# Messages, bounded waiting, free ports and the identity of processes. Knows nothing of Paylink.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
die() {
    printf 'stack: %s\n' "$*" >&2
    exit 1
}

now_ms() { printf '%s' $((${EPOCHREALTIME/[.,]/} / 1000)); }

# wait_until SECONDS COMMAND…: true as soon as the command is, false when the time is over.
wait_until() {
    local limit=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        (($(now_ms) < limit)) || return 1
        sleep 0.03
    done
}

# Start time in clock ticks since boot: with the pid it names one process for ever.
# Prints nothing for a process that is gone or only waits to be reaped.
process_birth() {
    local stat fields
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} == Z ]] || printf '%s' "${fields[19]}"
}

# A pid file of ours holds "PID BIRTH". A pid that somebody else has now is not ours.
pid_record() { printf '%s %s\n' "$2" "$(process_birth "$2")" >"$1"; }

pid_alive() {
    local pid birth
    [[ -r $1 ]] && read -r pid birth <"$1" && [[ -n $birth ]] || return 1
    [[ $(process_birth "$pid") == "$birth" ]] && printf '%s' "$pid"
}

pid_dead() { ! pid_alive "$1"; }

# Each service leads a session of its own. The kernel gives a session's number to nobody else while
# a member lives, so members may be ended by it unless another process has the leader's pid now.
session_members() {
    local pid birth
    [[ -r $1 ]] && read -r pid birth <"$1" || return 0
    [[ ! -d /proc/$pid || $(process_birth "$pid") == "$birth" || -z $(process_birth "$pid") ]] || return 0
    # Not those that only wait to be reaped.
    ps -o pid=,stat= -s "$pid" 2>/dev/null | awk '$2 !~ /^Z/ { print $1 }'
}

session_empty() { [[ -z $(session_members "$1") ]]; }

# session_end PIDFILE SIGNAL SECONDS: asks the leader, then makes sure that nobody is left.
session_end() {
    local pid members=()
    if pid=$(pid_alive "$1"); then
        kill -s "$2" "$pid" 2>/dev/null || true
        kill -s CONT "$pid" 2>/dev/null || true
        wait_until "$3" pid_dead "$1" || note "stack: pid $pid ($(basename "$1")) did not stop within $3 s and is killed"
    fi
    if ! wait_until 1 session_empty "$1"; then
        mapfile -t members < <(session_members "$1")
        kill -s KILL "${members[@]}" 2>/dev/null || true
        wait_until 5 session_empty "$1" || note "stack: some processes of $(basename "$1") survive: ${members[*]}"
    fi
    rm -f "$1"
}

port_used() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port_owner() {
    local line
    line=$(ss -Hltnp "sport = :$1" 2>/dev/null | head -n 1) || return 0
    [[ $line =~ \(\(\"([^\"]*)\",pid=([0-9]+) ]] && printf ' by %s, pid %s' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
}

# port_choose FORCED REMEMBERED PREFERRED OTHER: prints a free port, different from OTHER.
# FORCED 0 means any; outside of the kernel's range for outgoing connections (32768 and up).
port_choose() {
    local port tries
    if [[ -n $1 && $1 != 0 ]]; then
        port_used "$1" && die "port $1 is in use$(port_owner "$1"). Choose another one, or 0 for any free one."
        printf '%s' "$1"
        return
    fi
    local candidates=("$2")
    [[ $1 == 0 ]] || candidates+=("$3")
    for port in "${candidates[@]}"; do
        [[ -n $port && $port != "$4" ]] || continue
        port_used "$port" || { printf '%s' "$port"; return; }
    done
    for ((tries = 0; tries < 100; tries++)); do
        port=$((10000 + SRANDOM % 20000))
        [[ $port != "$4" ]] && ! port_used "$port" && { printf '%s' "$port"; return; }
    done
    die "found no free port between 10000 and 29999"
}

random_hex() { od -An -vtx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# template_render FILE NAME=VALUE…: every @NAME@ becomes VALUE; one that is left over is an error.
template_render() {
    local text pair name
    text=$(<"$1")
    local file=$1
    shift
    for pair in "$@"; do
        name=${pair%%=*}
        text=${text//"@$name@"/"${pair#*=}"}
    done
    [[ ! $text =~ @[A-Z0-9_]+@ ]] || die "$file: nothing is known for ${BASH_REMATCH[0]}"
    printf '%s\n' "$text"
}
