/* A manifest beside the folders of the test models. */
#include "folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static mm_engine *e;
    if (!e) e = folder_engine((uint64_t)256 << 20);
    folder_change(GOLDEN "/x.mm.json", bytes, n);
    folder_play(e, GOLDEN "/x.mm.json");
    return 0;
}
