/**
 * How long a subscription, or the client of a provider, outlives the last component that uses it, in milliseconds. If one
 * component replaces another, if StrictMode mounts a component twice, or on hot reload, the number of users is 0 only for
 * a moment.
 */
export const lingerMs = 1_000;
