import { select } from "d3-selection";
import { zoom, zoomIdentity, type D3ZoomEvent, type ZoomTransform } from "d3-zoom";
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const ZOOM_MAX = 100_000;
const ZOOM_STEP = 1.6;
const PAN_STEP_PX = 120;

export interface TimelineZoom {
  transform: ZoomTransform;
  zoomIn: () => void;
  zoomOut: () => void;
  panBy: (steps: number) => void;
  fit: () => void;
  /** Shows the stretch between two pixels of the unzoomed axis. */
  zoomTo: (from: number, to: number) => void;
}

/** Drag pans, a wheel with Ctrl or a pinch zooms, a sideways wheel pans; a plain wheel scrolls the list. */
export function useTimelineZoom(
  surface: RefObject<HTMLElement | null>,
  width: number,
  isShown: boolean,
): TimelineZoom {
  const [transform, setTransform] = useState<ZoomTransform>(zoomIdentity);
  const [behaviour] = useState(() =>
    zoom<HTMLElement, unknown>()
      .scaleExtent([1, ZOOM_MAX])
      .filter((event: Event) => {
        if (event instanceof WheelEvent) return event.ctrlKey || event.metaKey;
        if ("touches" in event) return (event as TouchEvent).touches.length > 1;
        return (event as MouseEvent).button === 0;
      }),
  );
  const widthRef = useRef(width);
  widthRef.current = width;

  useEffect(() => {
    const element = surface.current;
    if (!element || !isShown) return;
    behaviour.on("zoom", (event: D3ZoomEvent<HTMLElement, unknown>) =>
      setTransform(event.transform),
    );
    const selection = select(element);
    selection.call(behaviour).on("dblclick.zoom", null);
    const pan = (event: WheelEvent): void => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (
        event.ctrlKey ||
        event.metaKey ||
        (!event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY))
      )
        return;
      event.preventDefault();
      behaviour.translateBy(selection, -sideways / currentScale(element), 0);
    };
    element.addEventListener("wheel", pan, { passive: false });
    return () => {
      selection.on(".zoom", null);
      element.removeEventListener("wheel", pan);
    };
  }, [behaviour, surface, isShown]);

  useEffect(() => {
    behaviour.extent([
      [0, 0],
      [width, 1],
    ]);
    behaviour.translateExtent([
      [0, 0],
      [width, 1],
    ]);
  }, [behaviour, width]);

  const act = (
    action: (selection: ReturnType<typeof select<HTMLElement, unknown>>) => void,
  ): void => {
    if (surface.current) action(select<HTMLElement, unknown>(surface.current));
  };
  return {
    transform,
    zoomIn: () => act((selection) => behaviour.scaleBy(selection, ZOOM_STEP)),
    zoomOut: () => act((selection) => behaviour.scaleBy(selection, 1 / ZOOM_STEP)),
    panBy: (steps) =>
      act((selection) => behaviour.translateBy(selection, (-steps * PAN_STEP_PX) / transform.k, 0)),
    fit: () => act((selection) => behaviour.transform(selection, zoomIdentity)),
    zoomTo: (from, to) =>
      act((selection) => {
        const scale = Math.min(ZOOM_MAX, Math.max(1, widthRef.current / Math.max(1e-3, to - from)));
        behaviour.transform(selection, zoomIdentity.scale(scale).translate(-from, 0));
      }),
  };
}

function currentScale(element: HTMLElement): number {
  return (element as HTMLElement & { __zoom?: ZoomTransform }).__zoom?.k ?? 1;
}
