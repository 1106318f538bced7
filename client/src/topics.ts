/** Typed topics: the type of data for each topic. */
import type { Json, JsonData, Rich } from './data-types.js';
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './standard-schema.js';

/** The default topic map: every topic is allowed, and data is `unknown`. */
export type AnyTopics = Record<string, unknown>;

/** The default topic map for publishers that speak JSON. */
export type AnyJsonTopics = Record<string, JsonData>;

/** A topic map whose data JSON can carry. */
export type JsonTopics<Topics> = { [Topic in keyof Topics]: Json<Topics[Topic]> };

/** A topic map whose data msgpackr can carry. */
export type RichTopics<Topics> = { [Topic in keyof Topics]: Rich<Topics[Topic]> };

/**
 * The topics of a map: its keys. A key may be a template:
 * `interface Topics { 'chat.lobby': ChatMessage; [topic: \`prices.${string}\`]: Price }`. If several keys match a
 * topic, its data has all their types at once (`Price & Quote`), so avoid overlapping keys.
 */
export type TopicOf<Topics> = keyof Topics & string;

/** The data of a topic. For a union of topics: data that fits every topic. */
export type DataOf<Topics extends object, Topic extends TopicOf<Topics>> = (
  Topic extends unknown
    ? (data: Topics[Topic]) => void
    : never
) extends (data: infer Data) => void
  ? Data
  : never;

/**
 * Schemas by topic. In a key, `*` matches one segment, and `>` at the end matches one or more: `prices.*`, `logs.>`. An
 * exact key takes precedence over patterns. If several patterns match, the first one is used. The compiler does not
 * know this order, so it requires data that has all their types at once. Avoid overlapping patterns.
 */
export type Schemas = Readonly<Record<string, StandardSchemaV1>>;

// A template type cannot exclude dots, so `prices.a.b` compiles for `prices.*`. At run time it is `unknownTopic`.
type Template<Pattern extends string> = Pattern extends `${infer Head}.${infer Rest}`
  ? `${Segment<Head>}.${Template<Rest>}`
  : Segment<Pattern>;
type Segment<Text extends string> = Text extends '*' | '>' ? string : Text;

/** The topic map for publishers: the input types of the schemas. */
export type SchemaInputs<S extends Schemas> = { [Key in keyof S & string as Template<Key>]: SchemaInput<S[Key]> };

/** The topic map for subscribers: the output types of the schemas. */
export type SchemaOutputs<S extends Schemas> = { [Key in keyof S & string as Template<Key>]: SchemaOutput<S[Key]> };
