/* mm: libmm from the command line. Each command is one function; see mm --help. */
#include "mm.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A standard stream that the caller closed is opened on nothing, so that no file of ours gets its number. Writing to such an
 * output still fails. */
static void hold_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0) return;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const options *o);
    } commands[] = {{"run", cmd_run},           {"transcribe", cmd_transcribe}, {"embed", cmd_embed},     {"score", cmd_score},
                    {"tokenize", cmd_tokenize}, {"info", cmd_info},             {"devices", cmd_devices}, {"bench", cmd_bench}};
    options o;
    int status = 0;
    hold_streams();
    parse_args(argc, argv, &o);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, o.command) == 0) status = commands[i].run(&o);
    free_args(&o);
    return finish_output(status);
}
