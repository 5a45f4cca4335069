export function matches() {
  return null;
}
