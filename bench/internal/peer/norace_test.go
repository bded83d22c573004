//go:build linux && !race

package peer

const race = false
