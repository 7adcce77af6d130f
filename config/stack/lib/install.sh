# Debian packages of config/packages.txt: what is missing is installed, none of the system's services
# is started and no PostgreSQL cluster of the system is made.
# shellcheck shell=bash disable=SC2154

POLICY=/usr/sbin/policy-rc.d
CREATECLUSTER=/etc/postgresql-common/createcluster.conf

# packages_missing SECTION…
packages_missing() {
    local section='' line name wanted=" $* "
    while read -r line; do
        line=${line%%#*}
        line=${line//[[:space:]]/}
        [[ -n $line ]] || continue
        if [[ $line == \[*\] ]]; then
            section=${line:1:-1}
        elif [[ $wanted == *" $section "* ]]; then
            name=${line%%\?*}
            [[ $line == *\?* ]] && command -v "${line#*\?}" >/dev/null && continue
            [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || say "$name"
        fi
    done <"$root/config/packages.txt"
}

install_restore() {
    [[ -z ${policy_made:-} ]] || rm -f "$POLICY"
    [[ -z ${createcluster_saved:-} ]] || mv -f "$createcluster_saved" "$CREATECLUSTER"
    policy_made='' createcluster_saved=''
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o Dpkg::Use-Pty=0 "$@" >>"$install_log" 2>&1 && return
    tail -n 30 "$install_log" >&2
    die "apt-get could not install what is missing; all it said is in $install_log"
}

# Maintainer scripts ask policy-rc.d whether they may start a service: 101 says no. A machine that
# has a policy keeps it.
install_quietly() {
    trap install_restore EXIT
    trap 'exit 130' INT TERM
    if [[ ! -e $POLICY ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        policy_made=1
        chmod 755 "$POLICY"
    fi
    say "installing: $*"
    say "  (takes a few minutes; what apt-get says goes to $install_log)"
    apt-get update -q >>"$install_log" 2>&1 || {
        tail -n 10 "$install_log" >&2
        die "apt-get update failed; is the network there?"
    }
    if [[ " $* " == *" postgresql-15 "* ]]; then
        [[ -e $CREATECLUSTER ]] || apt_install postgresql-common
        cp -a "$CREATECLUSTER" "$CREATECLUSTER.paylink-saved"
        createcluster_saved=$CREATECLUSTER.paylink-saved
        printf 'create_main_cluster = false\n' >>"$CREATECLUSTER"
    fi
    apt_install "$@"
    install_restore
}

stack_install() {
    local sections=("$@") missing
    ((${#sections[@]})) || sections=(build runtime)
    [[ -e /etc/debian_version ]] ||
        die "this installs Debian packages, and this is not Debian. config/packages.txt says what is needed."
    mapfile -t missing < <(packages_missing "${sections[@]}")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        note "stack: these Debian packages are missing, and only root can install them:"
        note "    ${missing[*]}"
        note "Run this once as root, then everything else works as you:"
        note "    $root/config/stack/stack install ${sections[*]}"
        exit 1
    fi
    install_log=$(mktemp /tmp/paylink-install.XXXXXX)
    install_quietly "${missing[@]}"
    mapfile -t missing < <(packages_missing "${sections[@]}")
    ((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
    rm -f "$install_log"
}
