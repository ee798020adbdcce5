#pragma once

// Every layer and loss.
#include "wafer/nn/activation.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/init.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/loss.h"
#include "wafer/nn/module.h"
#include "wafer/nn/module_trace.h"
#include "wafer/nn/norm.h"
#include "wafer/nn/pool.h"
#include "wafer/nn/recurrent.h"
#include "wafer/nn/sequential.h"
#include "wafer/nn/stochastic_depth.h"
#include "wafer/nn/transformer.h"
