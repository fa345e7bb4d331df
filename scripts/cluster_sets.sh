#!/usr/bin/env bash
# Which tests of clusters this machine can run, as make targets on standard output. Installs what they need of
# the system where it may; what is left out is said on standard error, with the reason.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin

leave_out() { echo "LEFT OUT: make $1: $2" >&2; }

has() {
    local program
    for program in "$@"; do command -v "$program" >/dev/null || return 1; done
}

install() {
    has apt-get || return 1
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq install -y "$@" || { apt-get -qq update && apt-get -qq install -y "$@"; }; } >&2
}

if [ "$(id -u)" -ne 0 ]; then
    leave_out test-slurm "a SLURM of virtual nodes needs root"
    leave_out test-netns "hosts with networks of their own need root"
    exit
fi

if has munged slurmctld slurmd sbatch scontrol || install slurm-wlm munge; then
    echo test-slurm
else
    leave_out test-slurm "there is no SLURM here, and apt-get cannot install slurm-wlm and munge"
fi

if ! has ip && ! install iproute2; then
    leave_out test-netns "there is no ip here, and apt-get cannot install iproute2"
elif ! why=$(ip netns add coral-try 2>&1 && ip netns del coral-try 2>&1); then
    leave_out test-netns "no network namespaces here: $why"
else
    echo test-netns
fi
