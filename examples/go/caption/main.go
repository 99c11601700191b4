// caption MODEL PICTURE [QUESTION]: describes a picture, word by word. Ctrl-C ends the answer.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"libmm"
)

func caption(ctx context.Context, path, picture, question string) error {
	model, err := libmm.Open(path)
	if err != nil {
		return err
	}
	defer model.Close()
	answer := model.Chat(ctx, libmm.Parts{libmm.ImageFile(picture), libmm.Text(question)}, libmm.WithMaxTokens(200))
	defer answer.Close()
	for answer.Next(ctx) {
		if e := answer.Event(); e.Kind == libmm.EventText {
			fmt.Print(e.Text)
		}
	}
	fmt.Println()
	return answer.Err()
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: caption MODEL PICTURE [QUESTION]")
		os.Exit(2)
	}
	question := "What is in the picture?"
	if len(os.Args) > 3 {
		question = os.Args[3]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := caption(ctx, os.Args[1], os.Args[2], question); err != nil {
		fmt.Fprintln(os.Stderr, "caption:", err)
		os.Exit(1)
	}
}
