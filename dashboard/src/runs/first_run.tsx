import { serviceBase } from "../api/base";
import { firstRunCommands } from "../model/curl";
import { CopyButton } from "../ui/copy_button";
import { Icon } from "../ui/icons";

/** What a new installation shows: how to get a run onto this page. */
export function FirstRun({ onPlay }: { onPlay: () => void }) {
  const commands = firstRunCommands(serviceBase());
  return (
    <div class="empty first-run">
      <h2>No runs yet</h2>
      <p>
        Report what your actions do, and this page shows it as it happens. These commands make a
        run:
      </p>
      <div class="commands">
        <CopyButton text={commands} label="Copy" />
        <pre tabIndex={0}>{commands}</pre>
      </div>
      <p>Or watch one that plays for half a minute, reported by this page through the same API:</p>
      <button type="button" class="button primary" onClick={onPlay}>
        <Icon name="play" />
        Play a sample run
      </button>
    </div>
  );
}
