/**
 * The state of a graph of objects, as the control plane is one: found once, read and put back many times. Objects that are there from the
 * beginning stay the same, only their fields change; what they hold besides (maps, messages, logs under way) is copied. Bytes are never
 * changed in place by the control plane, and are shared.
 */
import { abstractTime, changing, gathered, ignored, kept, pinnedAnywhere } from "./pacing.js";

type Fields = Record<string, unknown>;

/** One object's fields as they were, by name. */
export type Saved = readonly (readonly [string, unknown])[];

interface Part {
  readonly object: Fields;
  readonly fields: readonly string[];
  /** The class, and the first field where it is a part of an object. */
  readonly name: string;
  readonly kept: (typeof kept)[string];
  /** Holds what is gathered towards a quorum, and nothing else. */
  readonly gathers: boolean;
  /** What was seen of it, by its text. */
  readonly known: Map<string, number>;
  readonly saved: Saved[];
}

export class ObjectState {
  private readonly parts: Part[] = [];
  /** Objects that are referred to and never copied, with a number each for the text. */
  private readonly fixed = new Map<object, number>();

  /** `foreign`: objects that the graph refers to and that are no part of it; `without`: classes whose objects have no state here. */
  constructor(
    root: object,
    foreign: readonly object[],
    private readonly without: readonly string[],
    /** Whether what is heard of others decides nothing but when they are enough. */
    private readonly onlyCounts: boolean,
  ) {
    for (const object of foreign) this.fixed.set(object, this.fixed.size);
    this.discover(root);
  }

  /** Which of the numbers that save() gives tell only what is gathered towards a quorum. */
  get gathers(): boolean[] {
    return this.parts.map((part) => part.gathers && (this.onlyCounts || part.name !== "Reconciliation.heard"));
  }

  /**
   * Numbers, one for each part of the graph: equal numbers, equal state of that part. Parts that are `idle` (by the names of pacing.ts) count
   * as what they were when they were saved first.
   */
  save(idle: readonly string[] = []): number[] {
    return this.parts.map((part) => {
      if (idle.includes(part.name)) return 0;
      const text = this.text(part);
      let number = part.known.get(text);
      if (number === undefined) {
        number = part.saved.length;
        part.known.set(text, number);
        part.saved.push(this.copyFields(part));
      }
      return number;
    });
  }

  load(numbers: readonly number[]): void {
    this.parts.forEach((part, i) => {
      const copies = new Map<object, unknown>();
      for (const [field, value] of part.saved[numbers[i]!]!) part.object[field] = this.copy(value, field, copies);
    });
  }

  private discover(object: object): void {
    if (this.fixed.has(object) || !isObject(object)) return;
    const isInstance = isClassInstance(object);
    const children = object instanceof Map || object instanceof Set || ArrayBuffer.isView(object) ? [] : Object.values(object);
    // A plain object that holds functions or instances ties parts together; any other is data of whoever holds it.
    if (isInstance || children.some((child) => typeof child === "function" || (isObject(child) && isClassInstance(child)))) {
      this.fixed.set(object, this.fixed.size);
    }
    if (isInstance) {
      const name = object.constructor.name;
      const apart = gathered[name] ?? [];
      const left = [...(ignored[name] ?? []), ...apart];
      const fields = changing[name] ?? Object.keys(object).filter((field) => !left.includes(field));
      const add = (some: readonly string[], gathers: boolean): void => {
        const partName = gathers ? `${name}.${some[0]}` : name;
        const part = { object: object as Fields, fields: some, name: partName, kept: kept[name] ?? {}, gathers };
        this.parts.push({ ...part, known: new Map(), saved: [] });
      };
      if (!this.without.includes(name)) add(fields, false);
      if (apart.length > 0) add(apart, true);
    }
    for (const child of children) if (isObject(child)) this.discover(child);
  }

  private copyFields(part: Part): Saved {
    const copies = new Map<object, unknown>();
    return part.fields.map((field) => [field, this.copy(keptValue(part, field), field, copies)]);
  }

  private copy(value: unknown, field: string, copies: Map<object, unknown>): unknown {
    if (typeof value === "number") return field.endsWith("Us") ? abstractTime(field, value) : value;
    if (typeof value === "function") throw new TypeError(`a function is part of the state, in ${field}`);
    if (!isObject(value) || this.fixed.has(value) || ArrayBuffer.isView(value)) return value;
    const before = copies.get(value);
    if (before !== undefined) return before;
    if (Array.isArray(value)) {
      const array: unknown[] = [];
      copies.set(value, array);
      for (const element of value) array.push(this.copy(element, field, copies));
      return array;
    }
    if (value instanceof Map) {
      const map = new Map<unknown, unknown>();
      copies.set(value, map);
      for (const [key, element] of value) map.set(key, this.copy(element, field, copies));
      return map;
    }
    if (value instanceof Set) return new Set(value);
    const object = Object.create(Object.getPrototypeOf(value)) as Fields;
    copies.set(value, object);
    for (const key in value) object[key] = key in pinnedAnywhere ? pinnedAnywhere[key] : this.copy((value as Fields)[key], key, copies);
    return object;
  }

  private text(part: Part): string {
    const seen = new Map<object, number>();
    let text = "";
    for (const field of part.fields) text += `${this.write(keptValue(part, field), field, seen)};`;
    return text;
  }

  private write(value: unknown, field: string, seen: Map<object, number>): string {
    if (typeof value === "number") return field.endsWith("Us") ? `${abstractTime(field, value)}` : `${value}`;
    if (!isObject(value)) return typeof value === "string" ? `${value.length}"${value}` : String(value);
    const fixed = this.fixed.get(value);
    if (fixed !== undefined) return `#${fixed}`;
    if (value instanceof Uint8Array) {
      const { buffer, byteOffset, byteLength } = value;
      return `${byteLength}:${Buffer.from(buffer, byteOffset, byteLength).toString("latin1")}`;
    }
    const before = seen.get(value);
    if (before !== undefined) return `@${before}`;
    seen.set(value, seen.size);
    return `{${this.writeContent(value, field, seen)}}`;
  }

  private writeContent(value: object, field: string, seen: Map<object, number>): string {
    let text = "";
    if (Array.isArray(value)) {
      for (const element of value) text += `${this.write(element, field, seen)},`;
    } else if (value instanceof Map) {
      for (const key of [...value.keys()].sort()) text += `${String(key)}>${this.write(value.get(key), field, seen)},`;
    } else if (value instanceof Set) {
      text = [...value].sort().join();
    } else {
      for (const key in value) {
        text += key in pinnedAnywhere ? `${key},` : `${key}=${this.write((value as Fields)[key], key, seen)},`;
      }
    }
    return text;
  }
}

function keptValue(part: Part, field: string): unknown {
  const value = part.object[field];
  const keep = part.kept[field];
  return keep ? keep(value, part.object) : value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isClassInstance(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    prototype !== Object.prototype &&
    prototype !== null &&
    !Array.isArray(value) &&
    !(value instanceof Map) &&
    !(value instanceof Set) &&
    !ArrayBuffer.isView(value)
  );
}
