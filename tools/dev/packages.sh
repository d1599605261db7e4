# What ./dev installs, and how. Sourced by ./dev.

# To build and to run, and so for everything but the checks and tools.
base_packages=(build-essential cmake ninja-build pkg-config python3 python3-yaml libmicrohttpd-dev
    libcurl4-gnutls-dev libjansson-dev libpq-dev librhonabwy-dev libuv1-dev zlib1g-dev uthash-dev libcmocka-dev
    libprotobuf-c-dev protobuf-c-compiler postgresql)
system_packages=(pgbouncer)
lint_packages=(clang-tidy cppcheck)
python_packages=(python3-venv curl)
bench_packages=(wrk)
deploy_packages=(adduser dpkg-dev file)
browser_packages=(chromium nginx-light)
fault_packages=(haproxy libfaketime)
fuzz_packages=(clang libclang-rt-dev llvm)
fresh_packages=(debootstrap)

say() {
    printf '%s\n' "-- $*" >&2
}

fail() {
    printf '%s\n' "dev: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "to install packages, be root or install sudo"
    fi
}

is_installed() {
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those of the named Debian packages that are missing.
need_packages() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian: what is called there $* has to be here already"
        return 0
    fi
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing Debian packages (a minute or two): ${missing[*]}"
    as_root bash tools/dev/apt_install.sh "${missing[@]}"
}

# Debian's own Python where there is one: it is the one that python3-yaml and python3-venv belong to.
system_python() {
    if [ -x /usr/bin/python3 ]; then
        echo /usr/bin/python3
    else
        command -v python3
    fi
}

# .venv as tests/requirements.txt says; made anew after that file has changed.
need_python() {
    need_packages "${python_packages[@]}"
    if cmp --silent tests/requirements.txt .venv/requirements.txt; then
        return 0
    fi
    say "Installing the Python packages of tests/requirements.txt into .venv"
    "$(system_python)" -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt .venv/requirements.txt
}

# need_python_of FILE: .venv, and in it what FILE says, too.
need_python_of() {
    need_python
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement "$1"
}

# Flyte's SDK in a venv of its own, .venv-flyte, as tests/flyte/requirements.txt says.
need_flyte() {
    need_python
    if cmp --silent tests/flyte/requirements.txt .venv-flyte/requirements.txt; then
        return 0
    fi
    say "Installing Flyte's SDK into .venv-flyte"
    "$(system_python)" -m venv --clear .venv-flyte
    .venv-flyte/bin/pip install --quiet --disable-pip-version-check --requirement \
        tests/flyte/requirements.txt
    cp tests/flyte/requirements.txt .venv-flyte/requirements.txt
}

# The dashboard's npm packages as package-lock.json says; node from Debian where there is none.
need_dashboard() {
    command -v npm >/dev/null || need_packages nodejs npm || return 1
    if cmp --silent dashboard/package-lock.json dashboard/node_modules/.installed-lock.json; then
        return 0
    fi
    say "Installing npm packages into dashboard/node_modules"
    npm ci --prefix dashboard --no-audit --no-fund --loglevel=error || return 1
    cp dashboard/package-lock.json dashboard/node_modules/.installed-lock.json
}

# build PRESET FOLDER [TARGET]: with the dashboard inside if its npm packages can be had.
build() {
    local dashboard=ON
    need_packages "${base_packages[@]}"
    if ! need_dashboard; then
        say "Without its npm packages the dashboard stays out of this build"
        dashboard=OFF
    fi
    cmake --preset "$1" -DRUNTREE_DASHBOARD=$dashboard --log-level=WARNING >/dev/null
    cmake --build "$2" --target "${3:-all}"
}

# What the programs bench/run, tests/browser/run … expect to find.
prepare_bench() {
    need_packages "${base_packages[@]}" "${bench_packages[@]}"
}

prepare_browser() {
    need_packages "${base_packages[@]}" "${browser_packages[@]}"
    build dev build runtree
}

prepare_faults() {
    need_packages "${base_packages[@]}" "${fault_packages[@]}"
    need_python
    build dev build runtree
}

prepare_deploy() {
    need_packages "${deploy_packages[@]}"
    build dev build
    need_python_of tests/deploy/requirements.txt
}

# need_tool NAME: a virtual environment build/tools/NAME with what tests/adapters/NAME.txt says.
need_tool() {
    local wanted=tests/adapters/$1.txt folder=build/tools/$1
    need_packages "${python_packages[@]}"
    if cmp --silent "$wanted" "$folder/requirements.txt"; then
        return 0
    fi
    say "Installing what $wanted says into $folder (a minute or two)"
    "$(system_python)" -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$folder/requirements.txt"
}

# Nextflow from Maven Central into build/tools/nextflow/jars, where there is Java; else false.
need_nextflow() {
    local wanted=tests/adapters/nextflow/pom.xml folder=build/tools/nextflow
    command -v java >/dev/null && command -v mvn >/dev/null || return 1
    if cmp --silent "$wanted" "$folder/pom.xml"; then
        return 0
    fi
    say "Installing Nextflow into $folder"
    mkdir -p "$folder"
    mvn --quiet --batch-mode --file "$wanted" dependency:copy-dependencies \
        -DoutputDirectory="$PWD/$folder/jars" || return 1
    cp "$wanted" "$folder/pom.xml"
}

prepare_fuzz() {
    need_packages "${base_packages[@]}" "${fuzz_packages[@]}"
}
