/**
 * The state of a graph of objects, as the control plane is one: found once, read and put back many times. Objects that are there from the
 * beginning stay the same, only their fields change; what they hold besides (maps, messages, logs under way) is copied. Bytes are never
 * changed in place by the control plane, and are shared.
 */
import { abstractTime, changing, ignored, pinned, pinnedAnywhere } from "./pacing.js";

type Fields = Record<string, unknown>;

/** One object's fields as they were, by name. */
export type Saved = readonly (readonly [string, unknown])[];

interface Part {
  readonly object: Fields;
  readonly fields: readonly string[];
  readonly pinned: Readonly<Record<string, unknown>>;
  /** What was seen of it, by its text. */
  readonly known: Map<string, number>;
  readonly saved: Saved[];
}

export class ObjectState {
  private readonly parts: Part[] = [];
  /** Objects that are referred to and never copied, with a number each for the text. */
  private readonly fixed = new Map<object, number>();

  /** `foreign`: objects that the graph refers to and that are no part of it. */
  constructor(root: object, foreign: readonly object[]) {
    for (const object of foreign) this.fixed.set(object, this.fixed.size);
    this.discover(root);
  }

  /** Numbers, one for each object of the graph: equal numbers, equal state of that object. */
  save(): number[] {
    return this.parts.map((part) => {
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
      const left = ignored[name] ?? [];
      const fields = changing[name] ?? Object.keys(object).filter((field) => !left.includes(field));
      this.parts.push({ object: object as Fields, fields, pinned: pinned[name] ?? {}, known: new Map(), saved: [] });
    }
    for (const child of children) if (isObject(child)) this.discover(child);
  }

  private copyFields(part: Part): Saved {
    const copies = new Map<object, unknown>();
    return part.fields.map((field) => [field, field in part.pinned ? part.pinned[field] : this.copy(part.object[field], field, copies)]);
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
    for (const [key, element] of Object.entries(value)) {
      object[key] = key in pinnedAnywhere ? pinnedAnywhere[key] : this.copy(element, key, copies);
    }
    return object;
  }

  private text(part: Part): string {
    const out: string[] = [];
    const seen = new Map<object, number>();
    for (const field of part.fields) {
      if (!(field in part.pinned)) this.write(part.object[field], field, out, seen);
      out.push(";");
    }
    return out.join("");
  }

  private write(value: unknown, field: string, out: string[], seen: Map<object, number>): void {
    if (typeof value === "number") {
      out.push(String(field.endsWith("Us") ? abstractTime(field, value) : value), ",");
    } else if (!isObject(value)) {
      out.push(typeof value === "string" ? `${value.length}"${value}` : String(value), ",");
    } else if (this.fixed.has(value)) {
      out.push(`#${this.fixed.get(value)},`);
    } else if (ArrayBuffer.isView(value)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      out.push(`${bytes.length}:`, bytes.toString("latin1"));
    } else if (seen.has(value)) {
      out.push(`@${seen.get(value)},`);
    } else {
      seen.set(value, seen.size);
      this.writeContent(value, field, out, seen);
    }
  }

  private writeContent(value: object, field: string, out: string[], seen: Map<object, number>): void {
    out.push("{");
    if (Array.isArray(value)) {
      for (const element of value) this.write(element, field, out, seen);
    } else if (value instanceof Map) {
      for (const key of [...value.keys()].sort()) {
        this.write(key, "", out, seen);
        this.write(value.get(key), field, out, seen);
      }
    } else if (value instanceof Set) {
      for (const key of [...value].sort()) this.write(key, "", out, seen);
    } else {
      for (const [key, element] of Object.entries(value)) {
        out.push(key, "=");
        if (!(key in pinnedAnywhere)) this.write(element, key, out, seen);
      }
    }
    out.push("}");
  }
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
