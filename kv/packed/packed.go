// Package packed has the two formats in which small collections lie in one block:
// Redis' listpack and intset. See https://github.com/antirez/listpack for the first.
package packed
