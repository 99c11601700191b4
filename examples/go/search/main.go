// search MODEL FOLDER TEXT...: the pictures of a folder that fit a text best, with a model of vectors for both (CLIP, SigLIP).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"libmm"
)

const most = 5

type picture struct {
	path   string
	vector []float32
	score  float32
}

// Vectors have length 1, so their dot product is the cosine of the angle between them.
func dot(a, b []float32) (sum float32) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func search(ctx context.Context, path, folder, text string) error {
	model, err := libmm.Open(path)
	if err != nil {
		return err
	}
	defer model.Close()
	paths, err := filepath.Glob(filepath.Join(folder, "*.[pjb][npm][gp]"))
	if err != nil {
		return err
	}
	wanted, err := model.Embed(ctx, libmm.Text(text))
	if err != nil {
		return err
	}
	var found []picture
	for _, p := range paths {
		v, err := model.Embed(ctx, libmm.ImageFile(p))
		if errors.Is(err, libmm.ErrMedia) {
			fmt.Fprintln(os.Stderr, "search:", err)
			continue
		} else if err != nil {
			return err
		}
		found = append(found, picture{p, v, dot(v, wanted)})
	}
	sort.Slice(found, func(i, j int) bool { return found[i].score > found[j].score })
	for i := 0; i < len(found) && i < most; i++ {
		fmt.Printf("%6.3f  %s\n", found[i].score, found[i].path)
	}
	return nil
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: search MODEL FOLDER TEXT...")
		os.Exit(2)
	}
	if err := search(context.Background(), os.Args[1], os.Args[2], strings.Join(os.Args[3:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "search:", err)
		os.Exit(1)
	}
}
