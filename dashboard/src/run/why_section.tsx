import { formatClock, formatCount } from "../model/format";
import type { Cause } from "../model/failures";
import { phaseOf, phaseTitle } from "../model/phase";
import type { TreeStore } from "../model/tree_store";
import { CutText } from "../ui/cut_text";
import { Icon, PhaseIcon } from "../ui/icons";

/** So many are shown until the reader asks for all. */
const FIRST_CAUSES = 3;

interface WhySectionProps {
  tree: TreeStore;
  /** By time, the first one first; at least one. */
  causes: readonly Cause[];
  isOver: boolean;
  isOpen: boolean;
  onToggle: (isOpen: boolean) => void;
  onShow: (node: number) => void;
}

/** Why the run failed or is failing: what failed by itself, the first cause on top. */
export function WhySection(props: WhySectionProps) {
  const { tree, causes, isOver, isOpen } = props;
  const shown = isOpen ? causes : causes.slice(0, FIRST_CAUSES);
  const hidden = causes.length - shown.length;
  return (
    <section class="why" aria-label={isOver ? "Why it failed" : "What has failed so far"}>
      <ol>
        {shown.map((cause, index) => (
          <li key={tree.name[cause.node]}>
            <button
              type="button"
              class="why-row"
              title={index === 0 ? "The first failure (e)" : undefined}
              onClick={() => props.onShow(cause.node)}
            >
              <PhaseIcon phase={phaseOf(cause.phase)} />
              <time>{formatClock(cause.at)}</time>
              <CutText class="why-name" text={tree.name[cause.node]!} />
              <span class="why-line">{cause.line || phaseTitle(phaseOf(cause.phase))}</span>
              {cause.count > 1 && <span class="why-count">{`×${formatCount(cause.count)}`}</span>}
              {index === 0 && <kbd aria-hidden="true">e</kbd>}
            </button>
          </li>
        ))}
      </ol>
      {(hidden > 0 || isOpen) && causes.length > FIRST_CAUSES && (
        <button
          type="button"
          class="button quiet small"
          aria-expanded={isOpen}
          onClick={() => props.onToggle(!isOpen)}
        >
          <Icon name={isOpen ? "collapse" : "expand"} />
          {isOpen ? "Fewer" : `${formatCount(hidden)} more`}
        </button>
      )}
    </section>
  );
}
