"""Whether a load leaves the event loop to others, told by the order of answers and not by a clock."""

import threading

import httpx


def asked_meanwhile(url, load, path="/healthz"):
    """Runs load() in a thread of its own, and asks `path` again and again until it returns. How
    often that was asked and answered (200) while the load was under way, and what load() returned.
    A load that holds the loop lets one or two through at the most: those from before it arrived."""
    returned = []
    thread = threading.Thread(target=lambda: returned.append(load()))
    answers = 0
    with httpx.Client(base_url=url, timeout=60) as client:
        client.get(path)  # connected
        thread.start()
        while thread.is_alive():
            assert client.get(path).status_code == 200
            answers += thread.is_alive()
    thread.join()
    assert returned, "the load failed"
    return answers, returned[0]
