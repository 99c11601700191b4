// transcribe MODEL RECORDING: prints what is said, segment by segment while it works, with the times. Ctrl-C ends it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"libmm"
)

func transcribe(ctx context.Context, path, recording string) error {
	model, err := libmm.Open(path)
	if err != nil {
		return err
	}
	defer model.Close()
	segments := model.Transcribe(ctx, libmm.AudioFile(recording))
	defer segments.Close()
	language := ""
	for segments.Next(ctx) {
		if code, sure := segments.Language(); code != language {
			fmt.Printf("language %s (%.0f %%)\n", code, 100*sure)
			language = code
		}
		s := segments.Segment()
		fmt.Printf("%7.2f - %7.2f %s\n", s.Start.Seconds(), s.End.Seconds(), s.Text)
	}
	return segments.Err()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: transcribe MODEL RECORDING")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := transcribe(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "transcribe:", err)
		os.Exit(1)
	}
}
