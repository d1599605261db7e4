#!/usr/bin/env bash
# ./dev run until it is ready and serves its page, then Ctrl-C. Fails if it does not come so far, or does
# not end well.
set -euo pipefail
address=http://127.0.0.1:8080
limit_s=3600 # to install and build everything

if (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; then
    echo "something else listens on $address" >&2
    exit 1
fi

set -m # a job of its own, as at a terminal: Ctrl-C goes to all of it
./dev run &
service=$!
set +m
until curl --silent --fail --output /dev/null $address/readyz; do
    if ! kill -0 $service 2>/dev/null; then
        echo "./dev run ended before it was ready" >&2
        exit 1
    fi
    if [ $SECONDS -gt $limit_s ]; then
        echo "./dev run is not ready after $limit_s s" >&2
        exit 1
    fi
    sleep 1
done
curl --silent --fail --output /dev/null $address/ || page=missing
kill -INT -$service
wait $service
if [ "${page:-}" = missing ]; then
    echo "./dev run serves no page at $address/" >&2
    exit 1
fi
