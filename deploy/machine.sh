#!/usr/bin/env bash
# What the machine itself must have: `machine.sh python` prints an interpreter that can make a
# virtual environment; `machine.sh java` makes sure of Java and Maven, `machine.sh compiler PYTHON`
# of a C compiler and the headers of an interpreter, if it can: these are of use, but not needed. As
# root on Debian or Ubuntu what is missing gets installed; elsewhere it is named.
set -euo pipefail

say() { echo "$*" >&2; }

# install WHY PACKAGE…
install() {
    local why=$1; shift
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "$why"
        say "On Debian or Ubuntu: sudo apt-get install $*"
        exit 1
    fi
    say "$why Installing: $*"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@"; } >&2
}

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

need_python() {
    local found
    found=$(find_python) || { install "Python 3.11 or later is missing." python3; found=$(find_python); } ||
        { say "Python 3.11 or later is needed; this system has none to install."; exit 1; }
    if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
        install "The venv module of $found is missing." \
            "$("$found" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    echo "$found"
}

# Kafka 4 needs Java 17.
has_java() {
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
    version=$("$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}

need_java() {
    has_java || install "Java 17 or later is missing." default-jre-headless
    has_java || { say "Java 17 or later is needed; this system's default is older."; exit 1; }
    # Maven is only needed until the jars are there; kafka.py knows.
    [ -e "$(dirname "$0")/kafka/.libs/pom.sha256" ] || command -v mvn >/dev/null ||
        install "Maven is missing." maven
}

has_compiler() { command -v "${CC:-cc}" >/dev/null; }

has_headers() {
    "$1" -c 'import os, sysconfig; exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}

# Without, everything runs from source; deploy/compile.py says so.
want_compiler() {
    has_compiler || (install "A C compiler is missing." gcc libc6-dev) || true
    has_headers "$1" || (install "The headers of $1 are missing." \
        "$("$1" -c 'import sys; print("libpython%d.%d-dev" % sys.version_info[:2])')") || true
}

case ${1:-} in
    python | java) "need_$1" ;;
    compiler) want_compiler "${2:?the interpreter}" ;;
    *) say "usage: machine.sh python|java|compiler PYTHON"; exit 2 ;;
esac
