/* What the host's log learns of a model that was opened. */
#ifndef MM__ASSEMBLY_REPORT_H
#define MM__ASSEMBLY_REPORT_H

#include "assembly.h"

void mm__assembly_report(const mm__assembly *a, const mm__log *log, double seconds);

#endif
