# The stages of ./dev test. Each is a function stage_NAME. Sourced by ./dev.

all_stages=(check build unit tools system cells asan dashboard browser contract adapters flyte deploy lint fuzz faults)
logs=build/test-logs
passed=0
failed=0

run_pytest() {
    .venv/bin/python -m pytest "$@"
}

stage_check() {
    need_python_of tools/requirements.txt
    "$(system_python)" tools/check.py --all
    .venv/bin/mypy --config-file clients/python/pyproject.toml --cache-dir build/mypy clients/python/src
}

stage_build() {
    build dev build
}

stage_lint() {
    need_packages "${lint_packages[@]}"
    stage_build
    "$(system_python)" tools/lint/run
}

stage_unit() {
    build dev build
    ctest --test-dir build --output-on-failure --parallel 2
}

stage_tools() {
    need_packages python3 python3-yaml
    need_python
    run_pytest tests/tools
}

stage_system() {
    need_packages "${system_packages[@]}"
    need_python
    build dev build runtree
    run_pytest tests/system -n 4
}

# The same where the runs are in two databases, as far as it is asked over HTTP.
stage_cells() {
    need_packages "${system_packages[@]}"
    need_python
    build dev build runtree
    RUNTREE_TEST_CELLS=2 run_pytest -n 4 -m "not one_database" \
        tests/system/test_{additions,adapted_runs,aliases,flyte_reads,flyte_watch,history,ingest,names,random_order,reads,remove_actions,replicas,tree_document,watch,watch_many}.py
}

stage_flyte() {
    need_flyte
    build dev build runtree
    run_pytest tests/flyte -c tests/flyte/pytest.ini
}

stage_asan() {
    need_packages "${system_packages[@]}"
    need_python
    build asan build-asan
    ctest --test-dir build-asan --output-on-failure --parallel 2
    RUNTREE_BIN=build-asan/runtree run_pytest tests/system -n 4
}

stage_dashboard() {
    need_dashboard
    npm test --prefix dashboard
}

stage_deploy() {
    prepare_deploy
    RUNTREE_PACKAGE_BUILD=build run_pytest tests/deploy
}

stage_browser() {
    prepare_browser
    tests/browser/run
}

stage_contract() {
    stage_build
    need_python
    tests/contract/run
}

# Tools as they are published report to the service. Airflow is too heavy: ./dev adapters airflow.
stage_adapters() {
    local tests=(tests/adapters/test_dbt.py)
    need_python
    need_tool dbt
    if need_nextflow; then
        tests+=(tests/adapters/test_nextflow.py)
    else
        say "Without Java and Maven Nextflow is tested by its recordings alone (tests/system)"
    fi
    build dev build runtree
    run_pytest -c tests/adapters/pytest.ini "${tests[@]}"
}

stage_fuzz() {
    prepare_fuzz
    tests/fuzz/run --seconds 5
}

stage_faults() {
    prepare_faults
    tests/faults/run --seconds 100
}

# Prints "PASSED FAILED" of a stage's log: the closing lines of ctest, pytest, vitest, and the plain one
# that our own programs end with.
count_tests() {
    awk '
        { gsub(/\033\[[0-9;]*m/, "") }
        /^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+/ { passed += $NF - $4; failed += $4 }
        /^ *Tests  .* \([0-9]+\)$/ || /^=+ .* in [0-9.]+s.* =+$/ || /^[0-9]+ passed, [0-9]+ failed/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^(failed|error)/) failed += $(i - 1)
            }
        }
        END { print passed + 0, failed + 0 }' "$1"
}

# Runs one stage, shows and keeps what it prints, and adds up its tests. Must not be called in a
# condition: bash would ignore `set -e` in the stage, too.
run_stage() {
    local name=$1 status began=$SECONDS counts verdict=good
    printf '\n=== %s\n' "$name"
    (
        set -e
        "stage_$name"
    ) 2>&1 | tee "$logs/$name.log"
    status=${PIPESTATUS[0]}
    read -ra counts < <(count_tests "$logs/$name.log")
    passed=$((passed + counts[0]))
    failed=$((failed + counts[1]))
    if [ "$status" -ne 0 ]; then
        verdict=FAILED
        [ "${counts[1]}" -gt 0 ] || failed=$((failed + 1))
    fi
    printf '=== %s: %s in %d s\n' "$name" "$verdict" $((SECONDS - began))
    return "$status"
}

# Runs the named stages, or all, up to the first that fails.
run_stages() {
    local stage status=0
    [ $# -gt 0 ] || set -- "${all_stages[@]}"
    for stage in "$@"; do
        declare -F "stage_$stage" >/dev/null || fail "no stage \"$stage\"; there are ${all_stages[*]}"
    done
    mkdir -p "$logs"
    set +e
    for stage in "$@"; do
        run_stage "$stage"
        status=$?
        if [ $status -ne 0 ]; then
            printf '\nThe stage "%s" failed; those behind it were not run. Its output: %s\n' \
                "$stage" "$logs/$stage.log"
            break
        fi
    done
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    return "$status"
}
