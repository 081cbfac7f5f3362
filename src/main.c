#include <stdio.h>

int main(void)
{
    puts("rookery");
    return 0;
}
