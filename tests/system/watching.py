"""What the tests of a run's stream share."""

from sse import TreeWatcher

NOTHING_WAITS = {"count": 0, "for": []}


def watch(run, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"{run.path}/watch" + ("?" + query if query else "")


def snapshot(open_stream, path, last_event_id=None):
    """Opens a stream and reads up to `synced`; the watcher and the stream."""
    watcher = TreeWatcher(path)
    stream = open_stream(path, last_event_id)
    watcher.follow(stream, "synced")
    return watcher, stream


def names_of(frames):
    return [frame.data["action"]["name"] for frame in frames if frame.event == "nodeUpdate"]


def post_and_see(api, observer, *events):
    """Posts events one by one, each until a live stream without a filter has it: from then on every
    new stream has it in what comes before `synced`."""
    for event in events:
        api.post_one(event)
        observer.read_flush()


def last_id(frames):
    return [frame.id for frame in frames if frame.id][-1]
