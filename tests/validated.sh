#!/bin/bash
# validated.sh COMMAND...: runs a test of the Vulkan backend under the Khronos validation layer, with its checks of
# synchronisation. One message of the layer fails the test. Where the layer is not installed, the command runs without it.
set -u
out=$(mktemp)
trap 'rm -f "$out"' EXIT
installed=$(ls /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json 2>/dev/null)
if [ -n "$installed" ]; then
    export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
    export VK_LAYER_ENABLES=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
fi
"$@" >"$out" 2>&1
status=$?
cat "$out"
if grep -q -E 'Validation (Error|Warning)|VUID-|SYNC-HAZARD' "$out"; then
    echo "FAIL the validation layer found something"
elif [ -n "$installed" ]; then
    echo "ok the validation layer is silent"
fi
exit $status
