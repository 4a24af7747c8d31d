#include "check.h"

int main(int count, char** arguments) { return check::run(count > 1 ? arguments[1] : nullptr); }
