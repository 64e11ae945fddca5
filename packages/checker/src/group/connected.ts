/** Which of many names belong together, when one learns piece by piece which do (Tarjan's union-find). */
export class Connected {
  private readonly parents = new Map<string, string>();

  /** All of `names` belong together. */
  connect(names: readonly string[]): void {
    const [first] = names;
    if (first === undefined) return;
    const root = this.root(first);
    for (const name of names) this.parents.set(this.root(name), root);
  }

  /** All names ever given, those that belong together in one list, in the order in which they came. */
  groups(): string[][] {
    const groups = new Map<string, string[]>();
    for (const name of this.parents.keys()) {
      const root = this.root(name);
      const group = groups.get(root);
      if (group === undefined) groups.set(root, [name]);
      else group.push(name);
    }
    return [...groups.values()];
  }

  private root(name: string): string {
    let root = name;
    for (let up = this.parents.get(root); up !== undefined && up !== root; up = this.parents.get(root)) {
      root = up;
    }
    // Whoever asks again finds it at once.
    let each = name;
    while (each !== root) {
      const up = this.parents.get(each) ?? root;
      this.parents.set(each, root);
      each = up;
    }
    if (!this.parents.has(root)) this.parents.set(root, root);
    return root;
  }
}
