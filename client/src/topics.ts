/** Typed topics: which data belongs to which topic, known to the compiler. */
import type { Json, JsonData } from './data-types.js';
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from './standard-schema.js';

/** Without a topic map every topic is allowed and data is `unknown`. */
export type AnyTopics = Record<string, unknown>;

/** The same for publishers that speak JSON. */
export type AnyJsonTopics = Record<string, JsonData>;

/** A topic map whose data JSON can carry. */
export type JsonTopics<Topics> = { [Topic in keyof Topics]: Json<Topics[Topic]> };

/**
 * The topics of a map: its keys. A key with a parameter is a template, and the data follows from the topic's name:
 * `interface Topics { 'chat.lobby': ChatMessage; [topic: \`prices.${string}\`]: Price }`. Of a topic that several keys match, the
 * data is of all their types at once (`Price & Quote`), so keys had better not overlap.
 */
export type TopicOf<Topics> = keyof Topics & string;

/** The data that a topic takes; of one of several topics, what each of them takes. */
export type DataOf<Topics extends object, Topic extends TopicOf<Topics>> = (
  Topic extends unknown
    ? (data: Topics[Topic]) => void
    : never
) extends (data: infer Data) => void
  ? Data
  : never;

/**
 * Schemas by topic. In a key, `*` stands for one segment and `>`, at the end, for one or more: `prices.*`, `logs.>`. A key
 * without either wins over patterns; of several patterns that match, the first one counts. The compiler knows no order: to it the
 * data of such a topic is of all their types at once, so patterns had better not overlap.
 */
export type Schemas = Readonly<Record<string, StandardSchemaV1>>;

// A template cannot say "without a dot", so the compiler takes `prices.a.b` for `prices.*`; at run time that is `unknownTopic`.
type Template<Pattern extends string> = Pattern extends `${infer Head}.${infer Rest}`
  ? `${Segment<Head>}.${Template<Rest>}`
  : Segment<Pattern>;
type Segment<Text extends string> = Text extends '*' | '>' ? string : Text;

/** The topic map for publishers: what goes in, before the schema transforms it. */
export type SchemaInputs<S extends Schemas> = { [Key in keyof S & string as Template<Key>]: SchemaInput<S[Key]> };

/** The topic map for subscribers: what the schema makes of what was published. */
export type SchemaOutputs<S extends Schemas> = { [Key in keyof S & string as Template<Key>]: SchemaOutput<S[Key]> };
