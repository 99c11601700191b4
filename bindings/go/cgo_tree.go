//go:build libmm_tree

package libmm

// The library as `make` leaves it in the source tree: go build -tags libmm_tree.

// #cgo CFLAGS: -I${SRCDIR}/../../include
// #cgo LDFLAGS: -L${SRCDIR}/../../lib -lmm -Wl,-rpath,${SRCDIR}/../../lib
import "C"
