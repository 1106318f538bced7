/** Schemas by topic, and the validation of data. */
import type { Item } from '@fanfare/protocol';
import { DataError, FanfareError, invalidOption, messageOf } from './errors.js';
import type { SchemaResult, StandardSchemaV1 } from './standard-schema.js';
import type { Schemas } from './topics.js';

/** Output of the schema, or the reason why the data is invalid. */
export type Checked = { readonly data: unknown } | { readonly error: DataError };

/** Returns a promise only if the schema is asynchronous. */
export type Check = (data: unknown) => Checked | Promise<Checked>;

/** Validates data from a node. `check` is null if there are no schemas. */
export function checkItem(item: Item, topic: string, check: Check | null): Checked | Promise<Checked> {
  if ('error' in item) {
    const message = `A publication to ${topic} cannot be represented in the encoding of this client.`;
    return { error: new DataError('undecodable', topic, [], { message }) };
  }
  return check === null ? item : check(item.data);
}

export class SchemaTable {
  readonly #exact = new Map<string, StandardSchemaV1>();
  readonly #patterns: Array<{ readonly grammar: RegExp; readonly schema: StandardSchemaV1 }> = [];

  constructor(schemas: Schemas) {
    for (const [key, schema] of Object.entries(schemas)) {
      if (typeof schema?.['~standard']?.validate !== 'function') {
        const message = `The schema of ${JSON.stringify(key)} is invalid: use a schema of a Standard Schema library.`;
        throw invalidOption(message);
      }
      if (/[*>]/.test(key)) this.#patterns.push({ grammar: grammarOf(key), schema });
      else this.#exact.set(key, schema);
    }
  }

  /** Throws `unknownTopic` if no schema matches the topic. */
  checkOf(topic: string): Check {
    const schema = this.#exact.get(topic) ?? this.#patterns.find(({ grammar }) => grammar.test(topic))?.schema;
    if (schema === undefined) {
      throw new FanfareError('unknownTopic', {
        message: `No schema matches the topic ${JSON.stringify(topic)}. Add one to schemas.`,
      });
    }
    return (data) => check(topic, schema, data);
  }
}

function grammarOf(pattern: string): RegExp {
  if (!/^(?:[\w-]+\.|\*\.)*(?:[\w-]+|\*|>)$/.test(pattern)) {
    const message = `${JSON.stringify(pattern)} in schemas is not a valid topic pattern: * matches one segment, > at the end matches one or more.`;
    throw invalidOption(message);
  }
  const body = pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+');
  return new RegExp(`^${body}$`);
}

function check(topic: string, schema: StandardSchemaV1, data: unknown): Checked | Promise<Checked> {
  const failed = (cause: unknown): Checked => {
    const message = `The schema of ${topic} threw: ${messageOf(cause)}`;
    return { error: new DataError('invalidData', topic, [], { message, cause }) };
  };
  const judge = (result: SchemaResult<unknown>): Checked => {
    if (result.issues === undefined) return { data: result.value };
    const message = `The data does not match the schema of ${topic}: ${result.issues[0]?.message}`;
    return { error: new DataError('invalidData', topic, result.issues, { message }) };
  };
  try {
    const result = schema['~standard'].validate(data);
    return result instanceof Promise ? result.then(judge).catch(failed) : judge(result);
  } catch (cause) {
    return failed(cause);
  }
}
