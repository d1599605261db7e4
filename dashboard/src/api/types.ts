/** The API's objects by the names that this page uses, out of the types generated from openapi.yaml. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type PhaseCounts = Schemas["PhaseCounts"];
export type ErrorInfo = NonNullable<Schemas["NullableErrorInfo"]>;
export type NodeUpdate = Schemas["NodeUpdate"];
export type RunSummary = Schemas["Run"];
export type RunUpdate = Schemas["RunUpdate"];
export type Runs = Schemas["Runs"];
export type Project = Schemas["Project"];
export type Projects = Schemas["Projects"];
export type ActionDetails = Schemas["ActionDetails"];
export type ActionAttempt = Schemas["ActionAttempt"];
export type RecordedEvent = Schemas["RecordedEvent"];
export type RecordedEvents = Schemas["RecordedEvents"];
export type ActionEvent = Schemas["ActionEvent"];
export type EventResults = Schemas["EventResults"];
export type Session = Schemas["Session"];
