// What is under way: a list that costs next to nothing to join and to leave. A `Map` or `Set` that
// changes with each request leaves its old tables behind, which keep the requests of their moment:
// measured, the collector paused for 8 ms instead of 0.3 ms, and the slowest 1 % took three times as long.

export interface Listed {
  /** Where it stands in the list; the list's own business. */
  place: number
}

export interface OpenList<Item extends Listed> {
  add: (item: Item) => void
  /** Does nothing for what has left already. */
  remove: (item: Item) => void
  count: () => number
  /** Those of the moment, to do something with that may change the list. */
  all: () => Item[]
}

export function createOpenList<Item extends Listed>(): OpenList<Item> {
  const items: Item[] = []
  return {
    add: (item) => {
      item.place = items.length
      items.push(item)
    },
    remove: (item) => {
      if (items[item.place] !== item) return
      const last = items.pop()
      if (last === undefined || last === item) return
      items[item.place] = last
      last.place = item.place
    },
    count: () => items.length,
    all: () => [...items],
  }
}
