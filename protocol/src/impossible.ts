/** Lets the compiler finish a switch: a case that was forgotten is a value of type other than `never` here. */
export function impossible(value: never): never {
  throw new Error(`Impossible: ${JSON.stringify(value)}`);
}
